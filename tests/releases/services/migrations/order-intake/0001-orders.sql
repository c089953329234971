create table orders (id text primary key, customer text not null, product text not null, quantity int not null, title text not null, seed text);
