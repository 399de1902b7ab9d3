"""Networks of ours that MindFormers trains: each module registers its class when it is imported."""
