package model

import (
	"github.com/unicorn-web-services/uws/ent"
	"github.com/unicorn-web-services/uws/orchestrator"
	"github.com/unicorn-web-services/uws/orchestrator/auth"
	"github.com/unicorn-web-services/uws/orchestrator/catalog"
)

// Connection is a page of a list.
type Connection[T any] struct {
	Edges      []*Edge[T]
	Nodes      []*T
	PageInfo   *PageInfo
	TotalCount int
}

// Edge is an item in a page.
type Edge[T any] struct {
	Cursor string
	Node   *T
}

// NodeConnection and the other connections and edges of the schema.
type (
	NodeConnection         = Connection[orchestrator.NodeInfo]
	NodeEdge               = Edge[orchestrator.NodeInfo]
	TemplateConnection     = Connection[catalog.Template]
	TemplateEdge           = Edge[catalog.Template]
	RetainedDataConnection = Connection[ent.Volume]
	RetainedDataEdge       = Edge[ent.Volume]
	OrphanConnection       = Connection[orchestrator.Orphan]
	OrphanEdge             = Edge[orchestrator.Orphan]
	TokenConnection        = Connection[auth.Token]
	TokenEdge              = Edge[auth.Token]
	SessionConnection      = Connection[auth.Session]
	SessionEdge            = Edge[auth.Session]
)
