// Package scripts carries the script that the local AWS endpoint starts, so that the carnation binary works anywhere.
package scripts

import _ "embed"

// MotoServer is the Python launcher of the moto server.
//
//go:embed moto_server.py
var MotoServer []byte
