package fleet

import (
	"context"

	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
	"github.com/unicorn-web-services/uws/orchestrator/store"
)

// NoteEngineRun records which run of its engine a node has, with an event if it differs from the one before. That event is
// the cause of the changes of services that follow.
func (f *Fleet) NoteEngineRun(n *Node, run string) error {
	if run == "" || n == nil || n.Row().EngineRun == run {
		return nil
	}
	n.engine.Lock()
	defer n.engine.Unlock()
	if n.Row().EngineRun == run {
		return nil
	}
	return f.store.Update(n.ctx, func(ctx context.Context, tx *ent.Tx) (err error) {
		before, err := tx.Node.Get(ctx, n.ID)
		if err != nil {
			return err
		}
		up := tx.Node.UpdateOne(before).SetEngineRun(run)
		if before.EngineRun != "" {
			e, err := n.Event(tx, store.Now(), lifecycle.CodeEngineRestarted, "the engine was restarted").SetNodeHealthy(before.Healthy).Save(ctx)
			if err != nil {
				return err
			}
			up.SetEngineEvent(e.ID)
		}
		return up.Exec(ctx)
	})
}

// noteEngine records which engine a node is.
func (f *Fleet) noteEngine(n *Node, engine string) {
	if engine == "" || n.Row().EngineID == engine {
		return
	}
	err := f.store.Update(n.ctx, func(ctx context.Context, tx *ent.Tx) error {
		return tx.Node.UpdateOneID(n.ID).SetEngineID(engine).Exec(ctx)
	})
	if err != nil {
		f.log.Warn("recording the identity of a node's engine failed; retrying at its next check", "node", n.Name, "error", err)
	}
}
