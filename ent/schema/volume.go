package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
	"github.com/unicorn-web-services/uws/orchestrator/lifecycle"
)

// Volume is the data of a service, from launch on. It is retained while no service uses it. Its id is its service's volume.
//
// The first group of fields is written when a service takes the volume: at launch, reattachment or adoption. The second one
// is what the row of a removed service had and is needed to use the data again. A service that uses the volume holds these
// facts itself, because the reconcile loop reads and changes them with the rest of the service: they are carried to the
// volume at removal, and back at reattachment. The third group is about retained data alone.
type Volume struct{ ent.Schema }

// Fields of Volume. The long ones come last, so that queries by the others do not read them.
func (Volume) Fields() []ent.Field {
	return []ent.Field{
		field.String("id").Immutable(),
		field.String("service_id").Optional().Nillable().Unique().Comment("The service that uses it; null: it is retained."),
		field.String("name").Unique().Comment("Of the service that uses it, or used it last. It stays taken."),
		field.Enum("kind").GoType(catalog.Kind("")).Immutable(),
		field.String("template").Immutable(),
		field.String("node_id").Default("").Comment("Where the data is; empty until its first service is placed."),
		field.Time("created_at").Comment("When the service that uses it, or used it last, was launched."),

		field.String("former_service").Default("").Comment("Id of the removed service; empty while a service uses it."),
		field.Bool("data_marked").Default(false).Comment("As of the removed service."),
		field.Bool("record_stale").Default(false).Comment("As of the removed service; also after the key was rotated."),
		field.JSON("ports", map[string]int{}).Optional().Comment("Of the removed service: its clients have them."),
		field.JSON("quarantine", &lifecycle.Quarantine{}).Optional().Comment("Of the removed service."),
		field.Bytes("credentials").Optional().Sensitive().Comment("Of the removed service: sealed JSON object by credential name."),
		field.Bytes("pending_credentials").Optional().Sensitive().Comment("Of a rotation that the removal interrupted: the engine may accept either."),

		field.Time("retained_at").Optional().Nillable().Comment("When the service was removed."),
		field.String("desired_state").Default("").Comment("Of a service that was not removed but whose node was forgotten; else empty."),
		field.Bool("forgotten").Default(false).Comment("Its node was forgotten: node_id is of no node, or of the same engine's new node."),
		field.String("node_name").Default("").Comment("Of the forgotten node."),
		field.String("engine_id").Default("").Comment("Of the forgotten node, by which it is recognised when it is registered again."),
		field.Bool("deleting").Default(false).Comment("Its deletion was requested and is not finished."),
		field.String("obstacle").Optional().Nillable().Comment("Why it is not deleted yet; null if nothing was in the way so far."),

		field.Int("version").Default(0).Comment("Optimistic lock."),
		field.JSON("definition", catalog.Template{}).Comment("Of the service that uses it, or used it last: the engine's version, and how to recognise its data."),
	}
}
