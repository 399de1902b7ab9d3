"""From a data file to a MindRecord, and its audit."""
