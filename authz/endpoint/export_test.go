package endpoint

import "flag"

// Update rewrites golden files: go test ./authz/endpoint -update.
var Update = flag.Bool("update", false, "rewrite golden files in testdata")
