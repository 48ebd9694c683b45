// Command pack packs the engine folders below the working folder into engines.txtar.
package main

import (
	"fmt"
	"os"

	"github.com/unicorn-web-services/uws/engines/internal/archive"
)

func main() {
	data, err := archive.Pack(".")
	if err == nil {
		err = os.WriteFile("engines.txtar", data, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}
