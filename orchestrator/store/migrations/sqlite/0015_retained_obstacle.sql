-- +goose Up
-- add column "obstacle" to table: "retaineds"
ALTER TABLE `retaineds` ADD COLUMN `obstacle` text NULL;
