"""HTTP: routes, middleware, the forms of a request, the reading of its body, and a client."""
