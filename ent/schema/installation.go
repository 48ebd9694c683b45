// Package schema defines what the store keeps. The rest of ent/ is generated from it.
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"
)

// Installation is the store's own identity: one row, made with the store.
type Installation struct{ ent.Schema }

// Fields of Installation.
func (Installation) Fields() []ent.Field {
	return []ent.Field{
		field.String("id").Immutable().Comment("Random; workloads carry it as a label, so that two installations can share an engine."),
		field.Bytes("key_check").Sensitive().Comment("A known text sealed with the store's key: tells a wrong key at start."),
		field.Time("created_at").Immutable(),
		field.Int("access_changes").Default(0).Comment("Raised with every change of tokens, sessions and login links: tells a uws that serves of what others did."),
	}
}
