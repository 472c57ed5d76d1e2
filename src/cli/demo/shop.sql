-- The business of the demo: a shop with customers, stock and a million orders.
create table customers (
    id int primary key,
    name text not null,
    email text not null,
    joined date not null
);
insert into customers
select n, (array['Ann', 'Bob', 'Chloé', 'Dörte', 'Émile', '花子', 'Zoë "Z" O''Hara', E'Line\nbreak, comma'])[n % 8 + 1] || ' ' || n,
    'customer' || n || '@example.com', date '2020-01-01' + n % 1500
from generate_series(1, 5000) as n;

create table stock (
    id int primary key,
    article text not null,
    pieces int not null check (pieces >= 0)
);
insert into stock
select n, 'Article ' || n, 1000 + n % 100
from generate_series(1, 50000) as n;

create table orders (
    id bigint generated always as identity primary key,
    customer_id int not null,
    article_id int not null,
    placed_at timestamptz not null,
    total numeric(10, 2) not null
);
insert into orders (customer_id, article_id, placed_at, total)
select n % 5000 + 1, n % 50000 + 1, timestamptz '2025-01-01 00:00:00+00' + n * interval '20 seconds', (n % 90000) / 100.0
from generate_series(1, 1200000) as n;
create index on orders (customer_id);
analyze;
