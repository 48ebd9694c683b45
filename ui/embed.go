// Package ui holds the pages that the server shows to people.
package ui

import "embed"

// Files are the pages and what they load: nothing comes from anywhere else.
//
//go:embed index.html app.js live.js style.css favicon.svg
var Files embed.FS
