-- +goose Up
ALTER TABLE `nodes` ADD COLUMN `labels` json NULL;
ALTER TABLE `nodes` ADD COLUMN `draining` bool NOT NULL DEFAULT false;
ALTER TABLE `nodes` ADD COLUMN `access` blob NULL;
ALTER TABLE `services` ADD COLUMN `node_labels` json NULL;
ALTER TABLE `services` ADD COLUMN `image` text NOT NULL DEFAULT '';
ALTER TABLE `services` ADD COLUMN `engine_restarts` integer NOT NULL DEFAULT 0;
