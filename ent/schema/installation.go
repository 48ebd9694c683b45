// Package schema defines what the store keeps. The rest of ent/ is generated from it.
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"

	"github.com/unicorn-web-services/uws/orchestrator/home"
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
		field.JSON("home", &home.Home{}).Optional().Comment("Where the store was served last; nil until a uws that records it does."),
		field.String("store").Default("").Comment("Random, new with each home: tells the store from copies of it that were moved."),
		field.Int64("epoch").Default(0).Comment("Raised with each home: of two copies on one Docker Engine the higher one acts."),
		field.String("cloned_from").Optional().Comment("Id of the installation that this one is a clone of."),
	}
}
