package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/unicorn-web-services/uws/orchestrator/driver"
)

// lookupTimeout bounds the lookup of a node's service address.
const lookupTimeout = 5 * time.Second

// errExposed is returned for a service address beyond loopback that was not allowed.
var errExposed = errors.New("engines that run as processes speak without TLS there, so that anyone who can read the network's traffic can read the data and the passwords; " +
	"give 127.0.0.1, or start uws with --allow-unencrypted-services")

// ListenAddress returns the address of this machine on which the engines of a PROCESS node listen: the service address
// itself, or an address of its name, preferably IPv4.
func (f *Fleet) ListenAddress(ctx context.Context, serviceAddress string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", serviceAddress)
	if err != nil {
		return "", fmt.Errorf("looking up the service address: %w", err)
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("listing the addresses of this machine: %w", err)
	}
	slices.SortStableFunc(found, func(a, b netip.Addr) int { return cmp.Compare(a.Unmap().BitLen(), b.Unmap().BitLen()) })
	for _, a := range found {
		ip := net.IP(a.Unmap().AsSlice())
		isOwn := ip.IsLoopback() || slices.ContainsFunc(own, func(have net.Addr) bool {
			n, ok := have.(*net.IPNet)
			return ok && n.IP.Equal(ip)
		})
		switch {
		case !isOwn:
		case ip.To4() == nil && ip.IsLinkLocalUnicast():
			return "", driver.Errorf(driver.Invalid, "%s is of one network interface alone (link-local), and clients would have to name theirs; give another address of this machine", ip)
		case !ip.IsLoopback() && !f.opts.AllowUnencrypted:
			return "", driver.Errorf(driver.Invalid, "%s is not loopback: %w", ip, errExposed)
		default:
			return ip.String(), nil
		}
	}
	return "", driver.Errorf(driver.Invalid, "%s is no address of this machine; a PROCESS node is this machine, whose engines listen there", serviceAddress)
}
