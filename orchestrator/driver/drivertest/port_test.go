package drivertest

import (
	"net"
	"strconv"
	"testing"
)

// A port is reserved for its test before anybody listens on it, also against other processes.
func TestFreePortIsReserved(t *testing.T) {
	t.Run("during the test", func(t *testing.T) {
		port := FreePort(t)
		if reserve(t, port) {
			t.Errorf("port %d was given twice", port)
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
	})
}
