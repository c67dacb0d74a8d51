"""Asset checks: `recovery_points`, `freshness` and `drill` evaluate them, `reporting` reports them without a step."""
