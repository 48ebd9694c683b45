-- +goose Up
ALTER TABLE `services` ADD COLUMN `pending_credentials` blob NULL;
ALTER TABLE `retaineds` ADD COLUMN `pending_credentials` blob NULL;
