package endpoint

import (
	"os"
	"testing"

	"github.com/unicorn-web-services/uws/test/dockertest"
)

func TestMain(m *testing.M) { os.Exit(dockertest.Main(m)) }
