package model

import (
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

type (
	// NodeConnection is a page of nodes.
	NodeConnection = Connection[orchestrator.Node]
	// NodeEdge is an item in a page of nodes.
	NodeEdge = Edge[orchestrator.Node]
	// TemplateConnection is a page of templates.
	TemplateConnection = Connection[catalog.Template]
	// TemplateEdge is an item in a page of templates.
	TemplateEdge = Edge[catalog.Template]
	// RetainedDataConnection is a page of retained data.
	RetainedDataConnection = Connection[orchestrator.Retained]
	// RetainedDataEdge is an item in a page of retained data.
	RetainedDataEdge = Edge[orchestrator.Retained]
	// OrphanConnection is a page of orphans.
	OrphanConnection = Connection[orchestrator.Orphan]
	// OrphanEdge is an item in a page of orphans.
	OrphanEdge = Edge[orchestrator.Orphan]
	// TokenConnection is a page of tokens.
	TokenConnection = Connection[auth.Token]
	// TokenEdge is an item in a page of tokens.
	TokenEdge = Edge[auth.Token]
	// SessionConnection is a page of sessions.
	SessionConnection = Connection[auth.Session]
	// SessionEdge is an item in a page of sessions.
	SessionEdge = Edge[auth.Session]
	// BackupTargetConnection is a page of places that hold backups.
	BackupTargetConnection = Connection[BackupTarget]
	// BackupTargetEdge is an item in a page of places that hold backups.
	BackupTargetEdge = Edge[BackupTarget]
	// BackupPolicyConnection is a page of policies of backups.
	BackupPolicyConnection = Connection[BackupPolicy]
	// BackupPolicyEdge is an item in a page of policies of backups.
	BackupPolicyEdge = Edge[BackupPolicy]
)
