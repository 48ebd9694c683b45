//go:build ui

package ui

import "embed"

//go:embed all:dist
var dist embed.FS

// Files are the pages that `npm run build` made of the sources beside this file, and what they load: nothing comes
// from anywhere else.
var Files = within(dist, "dist")
