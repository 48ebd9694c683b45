-- +goose Up
-- add columns to table: "nodes"
ALTER TABLE `nodes` ADD COLUMN `engine_run` text NOT NULL DEFAULT '';
ALTER TABLE `nodes` ADD COLUMN `engine_event` integer NULL;
-- add columns to table: "services"
ALTER TABLE `services` ADD COLUMN `outside` bool NOT NULL DEFAULT false;
ALTER TABLE `services` ADD COLUMN `undone` json NULL;
