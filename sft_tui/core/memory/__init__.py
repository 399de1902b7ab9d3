"""The memory of a training on each device, before it is started."""
