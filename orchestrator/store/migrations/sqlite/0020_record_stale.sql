-- +goose Up
-- add column "record_stale" to table: "services"
ALTER TABLE `services` ADD COLUMN `record_stale` bool NOT NULL DEFAULT false;
-- add column "record_stale" to table: "volumes"
ALTER TABLE `volumes` ADD COLUMN `record_stale` bool NOT NULL DEFAULT false;
