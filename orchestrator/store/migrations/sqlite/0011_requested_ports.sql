-- +goose Up
-- add column "requested_ports" to table: "services"
ALTER TABLE `services` ADD COLUMN `requested_ports` json NULL;
