"""How the commands learn: networks, agents, recipes and training loops beside those of the package."""
