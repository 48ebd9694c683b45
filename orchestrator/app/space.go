package app

import (
	"context"
	"time"

	"github.com/unicorn-web-services/uws/internal/background"
)

const spaceInterval = 5 * time.Second // between checks of the free space for the store

// watchSpace checks whether new data can be stored. While it cannot, decisions wait; reconciling repeats them.
func (a *App) watchSpace(ctx context.Context) {
	st, log := a.opts.Store, a.opts.Log
	check := func() {
		changed, err := st.CheckSpace()
		switch {
		case err != nil:
			log.Error("checking the free space of the data folder failed; retrying", "error", err)
		case changed && st.Full() != nil:
			log.Error("the disk of the data folder is full; nothing can be saved", "error", st.Full())
		case changed:
			log.Info("the disk of the data folder has free space again")
			a.reconciler.EnqueueAll() // what could not be written is decided again
		}
	}
	check()
	background.Every(ctx, spaceInterval, check)
}
