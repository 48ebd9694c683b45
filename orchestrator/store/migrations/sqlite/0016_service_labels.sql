-- +goose Up
-- add column "labels" to table: "services"
ALTER TABLE `services` ADD COLUMN `labels` json NULL;
