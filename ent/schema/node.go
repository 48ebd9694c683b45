package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"
)

// Node is a machine or engine that runs services.
type Node struct{ ent.Schema }

// Fields of Node.
func (Node) Fields() []ent.Field {
	return []ent.Field{
		field.String("id").Immutable(),
		field.String("name").Unique().Immutable(),
		field.Enum("driver").Values("PROCESS", "DOCKER").Immutable(),
		field.String("endpoint").Comment("How uws reaches the engine: a URL, or a folder on this machine."),
		field.String("service_address").Comment("IP address or host name on which clients reach the node's services."),
		field.JSON("labels", map[string]string{}).Optional().Comment("Given by the user; placement can ask for them."),
		field.Bool("draining").Default(false).Comment("No new service is placed here."),
		field.Bytes("access").Optional().Sensitive().Comment("Sealed: the keys with which uws reaches the engine."),
		field.String("engine_id").Default("").Comment("Identity of the engine, whatever the endpoint; empty until it answered, or where it has none."),
		field.Bool("healthy").Default(false),
		field.String("engine_run").Default("").Comment("Which run of its engine was seen last; see driver.Observed."),
		field.Int64("engine_event").Optional().Nillable().Comment("The event of its engine's last restart."),
		field.String("reason").Default("").Comment("Why it is not healthy, in plain words."),
		field.Time("last_seen_at").Optional().Nillable(),
		field.Time("created_at").Immutable(),
		field.Int("version").Default(0).Comment("Optimistic lock."),
	}
}
