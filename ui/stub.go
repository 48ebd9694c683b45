//go:build !ui

package ui

import "embed"

//go:embed stub
var stub embed.FS

// Files are pages that stand in for the dashboard and the playground, which this build is without.
var Files = within(stub, "stub")
