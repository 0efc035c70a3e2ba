"""HTTP: routes, middleware, the forms of a request and the reading of its body."""
