"""Why a step failed: its logs, the machine, the devices."""
