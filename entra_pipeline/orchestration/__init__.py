"""Jobs, schedules and sensors of Dagster."""
