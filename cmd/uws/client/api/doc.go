// Package api has the operations of the client commands, typed by the schema.
package api

//go:generate go tool genqlient genqlient.yaml
