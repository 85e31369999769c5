"""What a job needs before it is run: memory, disk, traffic and time, from costs measured on this machine."""
