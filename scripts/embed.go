// Package scripts carries the scripts that the local AWS endpoint starts, so that the carnation binary works anywhere.
package scripts

import "embed"

// MotoServer is the folder moto_server, which Python runs as a directory: the moto server with its gaps filled.
//
//go:embed moto_server/*.py
var MotoServer embed.FS
