"""What every command needs: its logs, output directory and JSON, its figures of merit, and how it is interrupted."""
