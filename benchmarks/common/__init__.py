"""What benchmarks of different things need."""
