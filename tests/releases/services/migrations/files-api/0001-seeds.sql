create table seeds (id text primary key, order_id text not null, title text not null, object text not null, bytes int not null, sha256 text not null);
