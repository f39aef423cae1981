//go:build tools

// Package tools pins the programs that `deploy/servers` builds.
package tools

import (
	_ "github.com/influxdata/influxdb/v2/cmd/influxd"
	_ "github.com/influxdata/pkg-config"
)
