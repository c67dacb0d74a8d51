"""Serves a simulated tenant: HTTP and TLS, sign-in, the control API.

`simulator.Simulator` makes or opens the tenant, binds two ports of 127.0.0.1 and runs `web` on both in one thread:
plain HTTP, and TLS with a certificate of `certificates`. A request goes one of three ways:

1. `/v1.0/…` becomes a `protocol` request. A fault may strike it; else `graph` answers it.
2. `/{tenant}/oauth2/v2.0/token` goes to `signin`, which issues an access token for a secret or a certificate.
3. `/_control/{order}` goes to `control.panel.ControlPanel`, which bypasses Graph's checks. Its client is
   `control.client.Control`.

A state folder keeps the tenant and its ports. Its lock decides who serves: a second simulator on the folder attaches to
the first, and takes over when the first ends.
"""
