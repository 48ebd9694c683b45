package docker

import (
	"encoding/json"
	"log/slog"
	"os"
	"testing"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"
	"github.com/unicorn-web-services/uws/test/dockertest"
)

func TestMain(m *testing.M) {
	drivertest.Transferring(func(options json.RawMessage) (driver.Driver, error) {
		var o Options
		if err := json.Unmarshal(options, &o); err != nil {
			return nil, err
		}
		o.Log = slog.New(slog.DiscardHandler)
		return New(o)
	})
	os.Exit(dockertest.Main(m))
}
