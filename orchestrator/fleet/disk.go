package fleet

import (
	"context"
	"fmt"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/driver"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// A disk is low while less than 1 GiB and less than a tenth of it is free, until a quarter more than that is free.
const (
	lowBytes    = 1 << 30
	lowFraction = 10
)

// isLow reports whether a node's disk is low. A node that does not report its disk is not low.
func isLow(i driver.Info, was bool) bool {
	if i.DiskFree < 0 || i.DiskTotal <= 0 {
		return false
	}
	free := i.DiskFree
	if was {
		free = free / 5 * 4
	}
	return free < lowBytes && free < i.DiskTotal/lowFraction
}

// LowDisk reports whether the node's disk is low, and how much of it is free.
func (n *Node) LowDisk() (bool, string) {
	if n == nil {
		return false, ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.low {
		return false, ""
	}
	return true, diskText(n.Name, n.info.DiskFree, n.info.DiskTotal)
}

// checkDisk notices that a node's disk became low, or has enough space again. The event is repeated until it is in the log, which
// may be on the same disk.
func (f *Fleet) checkDisk(n *Node) {
	n.mu.Lock()
	was := n.low
	n.low = isLow(*n.info, was)
	fell, news := n.low && !was, n.low != n.lowLogged
	now, info := n.low, *n.info
	n.mu.Unlock()
	if fell {
		f.listener.DiskLow(n.ID)
	}
	if !news {
		return
	}
	code, text := lifecycle.CodeDiskOK, "the disk has enough free space again"
	if now {
		code, text = lifecycle.CodeDiskLow, diskText(n.Name, info.DiskFree, info.DiskTotal)
	}
	err := f.store.Update(n.ctx, func(ctx context.Context, tx *ent.Tx) error {
		return n.Event(tx, store.Now(), code, text).SetNodeHealthy(true).Exec(ctx)
	})
	if err != nil {
		f.log.Debug("recording the state of a node's disk failed; retrying at its next check", "node", n.Name, "error", err)
		return
	}
	n.mu.Lock()
	n.lowLogged = now
	n.mu.Unlock()
	f.log.Warn("disk of a node changed", "node", n.Name, "low", now, "free", info.DiskFree, "total", info.DiskTotal)
}

func diskText(node string, free, total int64) string {
	return fmt.Sprintf("the disk of node %s is low: %d MiB of %d MiB are free", node, free>>20, total>>20)
}
