"""The only room that writes files and folders whole; small facts about files."""
