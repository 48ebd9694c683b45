-- +goose Up
-- add column "engine_id" to table: "nodes"
ALTER TABLE `nodes` ADD COLUMN `engine_id` text NOT NULL DEFAULT '';
-- add columns to table: "retaineds"
ALTER TABLE `retaineds` ADD COLUMN `data_marked` bool NOT NULL DEFAULT false;
ALTER TABLE `retaineds` ADD COLUMN `desired_state` text NOT NULL DEFAULT '';
ALTER TABLE `retaineds` ADD COLUMN `ports` json NULL;
ALTER TABLE `retaineds` ADD COLUMN `forgotten` bool NOT NULL DEFAULT false;
ALTER TABLE `retaineds` ADD COLUMN `node_name` text NOT NULL DEFAULT '';
ALTER TABLE `retaineds` ADD COLUMN `engine_id` text NOT NULL DEFAULT '';
-- add column "data_marked" to table: "services"
ALTER TABLE `services` ADD COLUMN `data_marked` bool NOT NULL DEFAULT false;
