"""Downloads models and data sets from the hubs: lists, chooses, transfers with checksums, resumes, verifies."""
