package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"

	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// Retained is the data of a removed service: what is needed to attach it again. Its id is the volume's.
type Retained struct{ ent.Schema }

// Fields of Retained.
func (Retained) Fields() []ent.Field {
	return []ent.Field{
		field.String("id").Immutable(),
		field.String("name").Unique().Immutable().Comment("The removed service's name, which stays taken."),
		field.Enum("kind").GoType(catalog.Kind("")).Immutable(),
		field.String("template").Immutable(),
		field.JSON("definition", catalog.Template{}).Immutable(),
		field.Bytes("credentials").Sensitive().Comment("Sealed JSON object by credential name."),
		field.Bytes("pending_credentials").Optional().Sensitive().Comment("Of a rotation that the removal interrupted: the engine may know either."),
		field.String("service_id").Immutable().Comment("Of the removed service."),
		field.String("node_id").Comment("Where the data is."),
		field.Bool("data_marked").Default(false).Comment("As of the removed service."),
		field.JSON("ports", map[string]int{}).Optional().Immutable().Comment("Of the removed service: its clients know them."),
		field.String("desired_state").Default("").Comment("Of a service that was not removed but whose node was forgotten; else empty."),
		field.Bool("forgotten").Default(false).Comment("Its node was forgotten: node_id is of no node, or of the same engine's new node."),
		field.String("node_name").Default("").Comment("Of the forgotten node."),
		field.String("engine_id").Default("").Comment("Of the forgotten node, by which it is known again."),
		field.Bool("deleting").Default(false).Comment("Its deletion was requested and is not finished."),
		field.String("obstacle").Optional().Nillable().Comment("Why it is not deleted yet; null if nothing was in the way so far."),
		field.Time("created_at").Immutable().Comment("Of the removed service."),
		field.Time("retained_at").Immutable(),
	}
}
