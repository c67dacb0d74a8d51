"""What the tests of several rooms share: tenants that are protected, projects, servers, and stores written by hand."""
