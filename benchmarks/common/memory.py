"""The memory of this process."""

import resource


def resident_mebibytes() -> float:
    """Returns the memory that the process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def peak_mebibytes() -> float:
    """Returns the most memory that the process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
