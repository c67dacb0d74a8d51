"""Commands that configure or start something: scopes, notifications, the console, Dagster, a simulated tenant."""
