CREATE TABLE fence (token bigint NOT NULL);
CREATE UNIQUE INDEX fence_has_one_row ON fence ((true));
INSERT INTO fence VALUES (0);
CREATE TABLE payments (token bigint NOT NULL, text text NOT NULL);
