"""Training on several hosts: ssh, checks of nodes, parts of a job."""
